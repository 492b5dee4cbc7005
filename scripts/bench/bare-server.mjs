// The ceiling: node:http and a constant redirect, nothing else.
import { createServer } from 'node:http';

createServer((_request, response) => {
  response.writeHead(302, { Location: 'https://example.com/', 'Content-Length': '0' });
  response.end();
}).listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGINT', () => process.exit(0));
