#!/bin/sh
# Starts one member. mongod refuses a key file that others may read, and a Secret's is the group's.
set -eu
rm -f /keys/keyfile
cp /run/secrets/mongodb/keyfile /keys/keyfile
chmod 400 /keys/keyfile
# The first member alone makes the administrator: a set begins with members that hold nothing.
case "$HOSTNAME" in
*-0)
  export MONGO_INITDB_ROOT_USERNAME_FILE=/run/secrets/mongodb/username
  export MONGO_INITDB_ROOT_PASSWORD_FILE=/run/secrets/mongodb/password
  ;;
esac
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile /keys/keyfile --bind_ip_all
