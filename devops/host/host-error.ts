/** What a host answers instead of a result: a code for programs, a sentence for people, and what it said meanwhile. */

export type HostErrorCode =
  | 'lease_held'
  | 'lease_lost'
  | 'busy'
  | 'corrupt'
  | 'missing'
  | 'boot_failed'
  | 'ended_early'
  | 'unhealthy'
  | 'pm2_failed'
  | 'refused'
  | 'internal';

export class HostError extends Error {
  override name = 'HostError';
  readonly code: HostErrorCode;
  /** The last lines of a log, or what else helps to find the cause. */
  readonly evidence: readonly string[];

  constructor(code: HostErrorCode, message: string, evidence: readonly string[] = []) {
    super(message);
    this.code = code;
    this.evidence = evidence;
  }
}
