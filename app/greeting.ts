/** What a person sees who starts the service in a terminal. */

export interface Greeting {
  readonly baseUrl: string;
  readonly dataDir: string;
  readonly managementUrl: string;
  /** The secret of an admin key made by this start; null when there was one. */
  readonly newAdminKey: string | null;
  /** A line that makes a link when it is pasted into a shell. */
  readonly curl: string;
}

export function renderGreeting({ baseUrl, dataDir, managementUrl, newAdminKey, curl }: Greeting): string {
  const key = newAdminKey === null ? [] : [`  Admin API key, shown this once: ${newAdminKey}`, ''];
  return [
    '',
    `  Fleetlink serves ${baseUrl}`,
    `  Data in ${dataDir} · health and metrics on ${managementUrl}`,
    '',
    ...key,
    '  Make a link:',
    `    ${curl}`,
    '',
    '  Ctrl-C stops.',
    '',
    '',
  ].join('\n');
}
