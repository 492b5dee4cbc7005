// Asks the registry for known vulnerabilities of what production installs. High and critical ones fail. A registry that
// offers no audit (many mirrors answer 404 or 405) is said loudly and does not fail: nothing was found, nor looked at.
import { spawnSync } from 'node:child_process';

interface AuditAnswer {
  readonly metadata?: { readonly vulnerabilities: Readonly<Record<string, number>> };
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>;
  readonly statusCode?: number;
  readonly message?: string;
}

const audit = spawnSync('npm', ['audit', '--omit=dev', '--audit-level=high', '--json'], { encoding: 'utf8' });
const answer = parseAnswer(audit.stdout);

if (answer.metadata !== undefined) {
  for (const [name, { severity, range }] of Object.entries(answer.vulnerabilities ?? {})) {
    console.log(`${severity}: ${name} ${range}`);
  }
  console.log(`audit: ${JSON.stringify(answer.metadata.vulnerabilities)}`);
  process.exitCode = audit.status ?? 1;
} else if (isNotOffered(answer.statusCode)) {
  console.log(`!!! NOT AUDITED: this registry offers no dependency audit (HTTP ${answer.statusCode}).`);
} else {
  console.error(`audit failed: ${answer.message ?? audit.stderr}`);
  process.exitCode = 1;
}

function parseAnswer(json: string): AuditAnswer {
  try {
    return JSON.parse(json);
  } catch {
    // No JSON means that npm itself failed; its own words are on standard error.
    return {};
  }
}

/** A refusal is a registry's policy; 5xx other than "not implemented" is an accident that must not look like one. */
function isNotOffered(statusCode: number | undefined): boolean {
  return statusCode !== undefined && ((statusCode >= 400 && statusCode < 500) || statusCode === 501);
}
