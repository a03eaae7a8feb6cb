// node app.js HOST PORT WORKERS [DIR]: the soak's Node application. With workers it is a cluster that replaces those
// that end; with a folder it speaks TLS by the certificate there.
const cluster = require('cluster');
const fs = require('fs');
const http = require('http');
const https = require('https');

const [host, port, workers, dir] = [process.argv[2], +process.argv[3], +process.argv[4], process.argv[5]];
const large = Buffer.alloc(300 * 1024, 'x');

// Part of a response of 5,000 bytes, and what becomes of its connection then.
function part(res, then) {
  res.writeHead(200, { 'Content-Length': 5000 });
  res.write('z'.repeat(1000));
  setTimeout(then, 50);
}

function stream(res) {
  let left = 5;
  const timer = setInterval(() => {
    res.write('y'.repeat(1000));
    if (--left === 0) { clearInterval(timer); res.end(); }
  }, 2);
}

const pages = {
  '/small': (req, res) => { res.setHeader('Content-Length', 5); res.end('hello'); },
  '/large': (req, res) => { res.setHeader('Content-Length', large.length); res.end(large); },
  '/chunked': (req, res) => stream(res),
  '/nocontent': (req, res) => { res.statusCode = 204; res.end(); },
  '/notmodified': (req, res) => { res.statusCode = 304; res.end(); },
  '/slow': (req, res) => setTimeout(() => res.end('slow'), 300),
  '/echo': (req, res) => {
    const pieces = [];
    req.on('data', piece => pieces.push(piece));
    req.on('end', () => res.end(Buffer.concat(pieces)));
  },
  '/destroy': req => req.socket.destroy(),
  '/reset': req => req.socket.resetAndDestroy(),
  '/mid-destroy': (req, res) => part(res, () => req.socket.destroy()),
  '/mid-chunk': (req, res) => { res.write('z'.repeat(1000)); setTimeout(() => req.socket.destroy(), 50); },
  '/mid-reset': (req, res) => part(res, () => req.socket.resetAndDestroy()),
  '/half': (req, res) => part(res, () => {}),
  '/hang': () => {},
  '/exit': () => process.exit(1),
};

function missing(req, res) {
  res.statusCode = 404;
  res.end('missing');
}

if (workers && cluster.isPrimary) {
  cluster.on('exit', () => cluster.fork());
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  const answer = (req, res) => (pages[req.url.split('?')[0]] || missing)(req, res);
  const read = name => fs.readFileSync(`${dir}/${name}.pem`);
  const server = dir
    ? https.createServer({ key: read('key'), cert: read('cert') }, answer)
    : http.createServer(answer);
  server.keepAliveTimeout = 60000;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.listen(port, host);
}
