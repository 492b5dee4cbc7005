// The floor: the same constant redirect from an Express route, without middleware.
import express from 'express';

const app = express();
app.get('/:key', (_request, response) => {
  response.redirect(302, 'https://example.com/');
});
app.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGINT', () => process.exit(0));
