// node raw.js UPSTREAM CLOSER: an upstream that breaks HTTP on request, and a port that closes what it accepts.
const net = require('net');

const [upstream, closer] = process.argv.slice(2).map(Number);
const part = 'HTTP/1.1 200 OK\r\nContent-Length: 50000\r\nConnection: close\r\n\r\n' + 'z'.repeat(20000);

const pages = {
  '/cut': socket => { socket.write(part); setTimeout(() => socket.destroy(), 100); },
  '/cut-reset': socket => { socket.write(part); setTimeout(() => socket.resetAndDestroy(), 100); },
  '/garbage': socket => socket.end('PHP Fatal error: x\r\n\r\n<html>oops</html>'),
  '/headers': socket =>
    socket.end(`HTTP/1.1 200 OK\r\nX-Debug: ${'p'.repeat(140000)}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok`),
  '/hang': () => {},
};

net.createServer(socket => {
  let head = '';
  socket.on('error', () => {});
  socket.on('data', bytes => {
    head += bytes;
    if (!head.includes('\r\n\r\n')) return;
    const page = pages[head.split(' ')[1].split('?')[0]];
    head = '';
    if (page) page(socket); else socket.destroy();
  });
}).listen(upstream, '127.0.0.1');

net.createServer(socket => {
  socket.on('error', () => {});
  socket.destroy();
}).listen(closer, '::');
