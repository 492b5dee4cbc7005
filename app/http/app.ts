/** The Express app of a port: its routes, and one answer for everything else. */

import cors from 'cors';
import express, { type ErrorRequestHandler, type Express } from 'express';
import { AppError } from '../kernel/errors.ts';
import type { ErrorAnswerer } from './answer-error.ts';
import { type MountDeps, mountRoutes, type Route } from './route.ts';

export interface AppDeps extends MountDeps {
  readonly routes: readonly Route[];
  readonly answerError: ErrorAnswerer;
  /** Whose pages may call the API from a browser. */
  readonly corsOrigins: readonly string[];
}

/** URLs and their queries are bounded, as bodies are. */
const URL_LENGTH_MAX = 8192;

export function createApp({ routes, answerError, corsOrigins, ...mountDeps }: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.set('query parser', false);

  app.use((request, _response, next) => {
    if (request.url.length <= URL_LENGTH_MAX) return next();
    throw new AppError('too_large', `The URL is longer than ${URL_LENGTH_MAX} characters.`);
  });
  if (corsOrigins.length > 0)
    app.use(cors({ origin: [...corsOrigins], exposedHeaders: EXPOSED_HEADERS, maxAge: 600 }));
  mountRoutes(app, routes, mountDeps);
  app.use((request) => {
    throw new AppError('not_found', `There is nothing at ${request.path.slice(0, 200)}.`);
  });
  const onError: ErrorRequestHandler = (error, request, response, _next) =>
    answerError(request, response, error);
  app.use(onError);
  return app;
}

const EXPOSED_HEADERS = ['ETag', 'Location', 'Retry-After', 'X-Request-ID'];
