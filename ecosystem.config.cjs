/**
 * How PM2 runs the service: `pm2 start ecosystem.config.cjs`, then `pm2 reload fleetlink` for each new release. What the
 * service itself reads (PORT, DATA_DIR, …) comes from the environment of that command; see app/config.ts. Where a deploy has put it
 * (FLEETLINK_ROOT), it comes from files of the host, so that PM2 keeps no secret.
 */

const { homedir } = require('node:os');
const { join } = require('node:path');

/**
 * Logs lie with PM2, not in DATA_DIR: that folder is what one backs up, and logs that fill its disk would stop writes.
 * The names are fixed, so that whoever ships them is told once; PM2 would add its own process id.
 */
const logFolder = join(process.env.PM2_HOME || join(homedir(), '.pm2'), 'logs');

const root = process.env.FLEETLINK_ROOT;
const deployed = root && {
  // The link itself: PM2 goes where it leads each time that it starts the service.
  cwd: join(root, 'current'),
  script: join(root, 'current/dist/main.js'),
  node_args: ['service', 'deploy'].map((name) => `--env-file=${join(root, `shared/env/${name}.env`)}`),
};

module.exports = {
  apps: [
    {
      name: 'fleetlink',
      script: 'dist/main.js',
      // Absolute, because PM2 takes a relative one from wherever the command was typed.
      cwd: __dirname,

      // One process, and cluster mode all the same: the daemon then owns the port, and a reload hands it from the old
      // process to the new one without a gap. In fork mode a reload is a restart, with refused connections.
      exec_mode: 'cluster',
      instances: 1,

      // The new process says `ready` once it listens on a migrated database; only then is the old one asked to stop. When
      // the time is up PM2 ends the old one whatever the new one did, so it is far beyond the slowest start.
      wait_ready: true,
      listen_timeout: 30_000,
      // What is in flight has 30 s to finish; the rest is for the database and the log.
      kill_timeout: 35_000,
      // There are no child processes to be found and killed with it.
      treekill: false,

      // Starting again is tried for ever, after 0.1 s first and at most every 15 s: a taken port or a full disk passes, and
      // nobody is there at night to type `pm2 restart`. With a growing delay PM2's limit of restarts is never reached.
      autorestart: true,
      exp_backoff_restart_delay: 100,

      out_file: join(logFolder, 'fleetlink-out.log'),
      error_file: join(logFolder, 'fleetlink-error.log'),
      merge_logs: true,

      // The service brings its own figures; PM2's agent in each process would turn on profilers and wrap every request.
      pmx: false,
      vizion: false,

      env: { NODE_ENV: 'production' },
      ...deployed,
    },
  ],
};
