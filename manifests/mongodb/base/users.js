// Makes the user that may read the data and nothing else. Run again, it sets its password anew.
const fs = require("fs");
const read = (name) => fs.readFileSync(`/run/secrets/mongodb/${name}`, "utf8");
const login = [read("username"), read("password")].map(encodeURIComponent).join(":");
const options = "authSource=admin&directConnection=true&serverSelectionTimeoutMS=60000";
const admin = new Mongo(`mongodb://${login}@mongodb:27017/?${options}`).getDB("admin");
const user = read("reader-username");
const pwd = read("reader-password");
const ALREADY_EXISTS = 51003;
const NOT_IMPLEMENTED = 238;
const make = (roles) => {
  try {
    admin.createUser({ user, pwd, roles });
    print(`made ${user}`);
  } catch (error) {
    if (error.code !== ALREADY_EXISTS) {
      throw error;
    }
    admin.updateUser(user, { pwd });
    print(`${user} was there; its password is set`);
  }
};
try {
  make([{ role: "read", db: "mcp_demo" }]);
} catch (error) {
  if (error.code !== NOT_IMPLEMENTED) {
    throw error;
  }
  print("this server has no roles: the reader may write too");
  make([]);
}
