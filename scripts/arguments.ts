// What was typed behind `--`, for all commands that work on an environment.
import { type ParseArgsConfig, parseArgs } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<T extends Options> = ReturnType<typeof parseArgs<{ options: T; allowPositionals: true }>>;

export interface Arguments<T extends Options> extends Parsed<T> {
  /** Ends the process with what is wrong, and how it is typed. */
  fail(sentence: string): never;
  /** Ends the process where none is named. */
  environment(): string;
}

const USAGE_EXIT = 64;

/** `usage`: a line for each way to type it. Ends the process where it cannot be understood, or help is asked for. */
export function readArguments<const T extends Options>(
  usage: string,
  options: T,
  { allowPositionals = false }: { readonly allowPositionals?: boolean } = {},
): Arguments<T> {
  const fail = (sentence: string): never => {
    console.error(`${sentence}${hintAtDashes(options)}\n\n${usage}`);
    process.exit(USAGE_EXIT);
  };
  let parsed: Parsed<T>;
  try {
    const known: Options = { ...options, help: { type: 'boolean', short: 'h' } };
    parsed = parseArgs({ options: known, allowPositionals }) as Parsed<T>;
  } catch (error) {
    return fail((error as Error).message);
  }
  const { env, help } = parsed.values as { readonly env?: string; readonly help?: boolean };
  if (help) {
    console.log(usage);
    process.exit(0);
  }
  return {
    ...parsed,
    fail,
    environment: () => env ?? fail('--env is missing: which environment?'),
  };
}

/** Without `--` npm takes options for its own, and tells programs so. */
function hintAtDashes(options: Options): string {
  const taken = Object.keys(options).find((name) => process.env[`npm_config_${name.replaceAll('-', '_')}`]);
  const script = process.env.npm_lifecycle_event ?? 'deploy';
  return taken === undefined
    ? ''
    : `\nnpm took --${taken} for an option of its own. Put -- before it: npm run ${script} -- --${taken} …`;
}
