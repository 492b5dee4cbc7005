/** `/api/v1/api-keys`: who may use the API. */

import { API_KEYS_MAX, type ApiKeyStore, createSecret, hashSecret } from '../../auth/api-key.ts';
import { apiKeyBody, apiKeyView, createdApiKeyView, toApiKeyView } from '../../auth/api-key-schema.ts';
import type { Clock } from '../../kernel/clock.ts';
import { AppError } from '../../kernel/errors.ts';
import { pageOf } from '../page.ts';
import { defineRoute, type Route } from '../route.ts';

export interface ApiKeyRouteDeps {
  readonly store: ApiKeyStore;
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
}

const API_KEYS_PATH = '/api/v1/api-keys';

export function createApiKeyRoutes({ store, clock, randomBytes }: ApiKeyRouteDeps): Route[] {
  return [
    defineRoute({
      id: 'listApiKeys',
      method: 'get',
      path: API_KEYS_PATH,
      summary: 'List API keys',
      access: 'admin',
      replies: {
        200: {
          description: `All of them: at most ${API_KEYS_MAX} that are valid, and those that are expired.`,
          schema: pageOf(apiKeyView),
        },
      },
      async handle() {
        return {
          status: 200,
          body: { items: (await store.listKeys()).map(toApiKeyView), next_cursor: null },
        };
      },
    }),

    defineRoute({
      id: 'createApiKey',
      method: 'post',
      path: API_KEYS_PATH,
      summary: 'Create an API key',
      access: 'admin',
      body: apiKeyBody,
      replies: {
        201: { description: 'The key with its secret.', schema: createdApiKeyView, headers: ['Location'] },
      },
      errors: ['conflict', 'unavailable'],
      async handle({ body }) {
        const { name, scopes, expires_at: expiresAtMs = null } = body;
        const secret = createSecret(randomBytes);
        const draft = { name, scopes, origin: 'user', createdAtMs: clock.nowMs(), expiresAtMs } as const;
        const key = await store.insertKey(draft, hashSecret(secret));
        if (key === null) {
          const message = `There are ${API_KEYS_MAX} API keys already. Delete one that is not used.`;
          throw new AppError('conflict', message);
        }
        const headers = { Location: `${API_KEYS_PATH}/${key.id}` };
        return { status: 201, body: { ...toApiKeyView(key), secret }, headers };
      },
    }),

    defineRoute({
      id: 'deleteApiKey',
      method: 'delete',
      path: `${API_KEYS_PATH}/{id}`,
      summary: 'Delete an API key; it is refused from then on',
      access: 'admin',
      replies: { 204: { description: 'Deleted.' } },
      errors: ['not_found', 'conflict', 'unavailable'],
      async handle({ params }) {
        // What is no number is nobody's id.
        const id = /^\d{1,15}$/.test(params.id as string) ? Number(params.id) : -1;
        switch (await store.deleteKey(id)) {
          case 'deleted':
            return { status: 204 };
          case 'not_found':
            throw new AppError('not_found', 'There is no such API key.');
          case 'environment':
            throw new AppError(
              'conflict',
              'This key is ADMIN_API_KEY. Unset or change the variable and restart.',
            );
          case 'last_admin':
            throw new AppError(
              'conflict',
              'This is the last key that can administrate for ever. Create another one first.',
            );
        }
      },
    }),
  ];
}
