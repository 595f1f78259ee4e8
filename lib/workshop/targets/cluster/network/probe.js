// Runs in a pod that carries a part's labels: tries every destination at once, again and again,
// and prints what it saw, a line of JSON a round. It ends by itself.
const dns = require("dns");
const net = require("net");

const { destinations, listen, seconds, patience } = JSON.parse(process.env.PROBE);
const until = Date.now() + seconds * 1000;

function connect({ host, port }) {
  return new Promise((done) => {
    const socket = net.connect({ host, port });
    const end = (seen) => {
      socket.destroy();
      done(seen);
    };
    socket.setTimeout(patience * 1000, () => end("timeout"));
    socket.on("connect", () => end("open"));
    socket.on("error", (error) => end(error.code === "ECONNREFUSED" ? "refused" : error.code));
  });
}

function lookUp({ name }) {
  const resolver = new dns.promises.Resolver({ timeout: patience * 1000, tries: 1 });
  return resolver.resolve4(name).then(
    () => "open",
    (error) => (error.code === "ETIMEOUT" ? "timeout" : error.code),
  );
}

async function rounds() {
  while (Date.now() < until) {
    const seen = await Promise.all(destinations.map((one) => (one.name ? lookUp : connect)(one)));
    console.log(JSON.stringify(seen));
    await new Promise((done) => setTimeout(done, 500));
  }
  process.exit(0);
}

process.on("SIGTERM", () => process.exit(0));
net
  // Who only tries to connect hangs up at once.
  .createServer((socket) => socket.on("error", () => {}).end())
  .on("error", (error) => console.log(JSON.stringify({ error: error.code })))
  .listen(listen, () => {
    console.log(JSON.stringify({ listening: listen }));
    rounds();
  });
