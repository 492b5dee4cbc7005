/** Caddy in front of the hosts, on each of them: certificates by itself, and nobody is sent to a host that is not ready. */

export const CADDYFILE_BEGIN = '# Made by `npm run provision`.';

export interface Ingress {
  /** Names that lead here. */
  readonly domains: readonly string[];
  /** `acme`: of a public authority, for which each name has to lead to the host that asks · `internal`: of Caddy's own, for tests. */
  readonly certificates: 'acme' | 'internal';
  /** `host:port` of the service on each host. */
  readonly services: readonly string[];
}

/**
 * A host that is drained or does not answer is known within half a second; whoever was sent there meanwhile is sent to another one, as
 * long as nothing of his request had arrived.
 */
export function renderCaddyfile({ domains, certificates, services }: Ingress): string {
  return `${CADDYFILE_BEGIN}
{
	admin localhost:2019
}

${domains.join(', ')} {
${certificates === 'internal' ? '\ttls internal\n' : ''}	encode zstd gzip
	reverse_proxy ${services.join(' ')} {
		lb_policy least_conn
		lb_retries 3
		lb_try_duration 5s
		lb_try_interval 100ms
		health_uri /readyz
		health_interval 500ms
		health_timeout 2s
		health_status 200
		fail_duration 2s
		transport http {
			dial_timeout 1s
			keepalive 60s
		}
	}
}
`;
}
