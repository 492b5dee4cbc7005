/**
 * The one error type that crosses a boundary, with a closed set of codes. What each code means to an HTTP client is a
 * table in http/problem.ts; everything that is not an AppError is a defect and is answered as `internal`.
 */

export type ErrorCode =
  | 'invalid'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'conflict'
  | 'gone'
  | 'precondition_failed'
  | 'too_large'
  | 'unsupported_media_type'
  | 'rate_limited'
  | 'unavailable'
  | 'internal';

/** One fault in one field of the input; `field` is a path such as `links[3].url`. */
export interface FieldFault {
  readonly field: string;
  readonly message: string;
}

export interface AppErrorOptions {
  readonly faults?: readonly FieldFault[];
  /** Seconds after which a retry makes sense; becomes `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** Methods that the resource has; becomes `Allow`. */
  readonly allow?: readonly string[];
  readonly cause?: unknown;
}

export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly faults: readonly FieldFault[];
  readonly retryAfterSeconds: number | null;
  readonly allow: readonly string[] | null;

  /** `message` is one sentence for the person who reads the answer: what is wrong and what to do next. */
  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.faults = options.faults ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
    this.allow = options.allow ?? null;
  }
}

/** The input is at fault; the sentence sums up, `faults` name each field. */
export function invalid(faults: readonly FieldFault[]): AppError {
  const [first] = faults;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  const sentence = first ? `${first.field}: ${first.message}${more}` : 'The request is not valid.';
  return new AppError('invalid', sentence, { faults });
}

/** The start cannot go on: `main.ts` prints the sentence and exits with 1. Never reaches a client. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
