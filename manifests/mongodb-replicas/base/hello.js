// A probe: whether this member takes part, as primary or as secondary.
const hello = new Mongo("mongodb://127.0.0.1:27017/?directConnection=true").getDB("admin").hello();
quit(hello.isWritablePrimary || hello.secondary ? 0 : 1);
