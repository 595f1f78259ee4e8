#!/bin/sh
# mongosh 2.12.0 on Node.js 20, seen on 2026-11-30.
#
# Expected: a script waits for a server as long as serverSelectionTimeoutMS says, as MongoDB's drivers
# do; a Job that makes users can then begin together with the database.
# Seen: mongosh gives up after the first try where nobody listens or the name is not known. The Job's
# container is restarted after 10, 20, 40 and 80 s: its users came 105 s after a database that
# was there after 15.
# And a script that wants to try again must not write `return new Mongo(uri)`: the try around it does
# not catch the error. It does where the connection is used before it is returned.
set -eu
command -v node >/dev/null && command -v npm >/dev/null || {
    echo "cannot be shown here: it needs Node.js with npm" >&2
    exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --ignore-scripts --no-audit --no-fund mongosh@2.12.0 >/dev/null
cat >script.js <<'JS'
// Nobody listens on the port 9 of this machine, and .invalid has no hosts.
const uri = (host) => `mongodb://${host}/?directConnection=true&serverSelectionTimeoutMS=30000`;
for (const host of ["127.0.0.1:9", "database.invalid:27017"]) {
  const began = Date.now();
  try {
    new Mongo(uri(host));
  } catch (error) {
    print(host, error.name, Date.now() - began < 15000 ? "at once" : "waited");
  }
}
const used = () => {
  try {
    const admin = new Mongo(uri("127.0.0.1:9")).getDB("admin");
    return admin;
  } catch (error) {
    return "caught";
  }
};
const returned = () => {
  try {
    return new Mongo(uri("127.0.0.1:9"));
  } catch (error) {
    return "caught";
  }
};
print("used before it is returned:", used());
try {
  print("returned as it is:", returned());
} catch (error) {
  print("returned as it is: not caught");
}
JS
seen=$(node node_modules/mongosh/bin/mongosh.js --quiet --norc --nodb script.js)
echo "$seen"
wanted="127.0.0.1:9 MongoNetworkError at once
database.invalid:27017 MongoNetworkError at once
used before it is returned: caught
returned as it is: not caught"
[ "$seen" = "$wanted" ] || {
    echo "the behaviour has changed" >&2
    exit 1
}
