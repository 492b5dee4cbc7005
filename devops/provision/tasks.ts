/**
 * What a host has to have before anything is deployed to it, as lines of shell that root runs there: nothing is needed on it but sshd, sh
 * and tar. Each looks first and changes only what is not as it should be, so that a second run changes nothing.
 */

import { quote } from '../remote/quote.ts';
import { CADDYFILE_BEGIN, type Ingress, renderCaddyfile } from './caddyfile.ts';

export interface HostTask {
  readonly name: string;
  /** Says `ok` or `changed` in its last line. With CHECK=1 it changes nothing and says what it would say. */
  readonly script: string;
}

export interface TaskOptions {
  /** Of the service, and where everything of it lies. */
  readonly user: string;
  readonly root: string;
  /** What may log in as that user, as it stands in authorized_keys; null: somebody else sees to that. */
  readonly publicKey: string | null;
  /** Null: a balancer of somebody's own. */
  readonly ingress: Ingress | null;
}

/** Ends it with `changed` where nothing may be changed. */
const PREFACE = `set -eu
changing() { [ "\${CHECK:-0}" = 0 ] || { echo changed; exit 0; }; }`;

export function listTasks({ user, root, publicKey, ingress }: TaskOptions): HostTask[] {
  return [
    { name: 'user', script: makeUser(user) },
    ...(publicKey === null ? [] : [{ name: 'key', script: admitKey(user, publicKey) }]),
    { name: 'folder', script: makeFolder(user, root) },
    { name: 'boot', script: startAtBoot(user, root) },
    ...(ingress === null ? [] : [{ name: 'ingress', script: serveWithCaddy(ingress) }]),
  ].map(({ name, script }) => ({ name, script: `${PREFACE}\n${script}` }));
}

/** Without a password, and not locked: sshd without PAM lets nobody in who is. */
function makeUser(user: string): string {
  return `if id -u ${quote(user)} >/dev/null 2>&1; then echo ok; exit; fi
changing
useradd --system --create-home --shell /bin/sh --password '*' ${quote(user)}
echo changed`;
}

/** As that user, whose files lead nowhere that he may not write himself. */
function admitKey(user: string, key: string): string {
  const admit = `set -eu
umask 077
cd
if grep -qxF ${quote(key)} .ssh/authorized_keys 2>/dev/null; then echo ok; exit; fi
[ "\${CHECK:-0}" = 0 ] || { echo changed; exit; }
mkdir -p .ssh
touch .ssh/authorized_keys
[ -z "$(tail -c 1 .ssh/authorized_keys)" ] || echo >>.ssh/authorized_keys
printf '%s\\n' ${quote(key)} >>.ssh/authorized_keys
echo changed`;
  return `id -u ${quote(user)} >/dev/null 2>&1 || changing
export CHECK HOME="$(getent passwd ${quote(user)} | cut -d: -f6)"
exec setpriv --reuid ${quote(user)} --regid "$(id -g ${quote(user)})" --init-groups sh -c ${quote(admit)}`;
}

function makeFolder(user: string, root: string): string {
  return `if [ "$(stat -c %U ${quote(root)} 2>/dev/null)" = ${quote(user)} ]; then echo ok; exit; fi
if [ -n "$(ls -A ${quote(root)} 2>/dev/null)" ]; then
  echo ${quote(`${root} is there and belongs to somebody else: choose a folder of its own as root.`)} >&2
  exit 1
fi
changing
install -d -m 750 -o ${quote(user)} ${quote(root)}
echo changed`;
}

const UNIT = '/etc/systemd/system/fleetlink.service';
const UNIT_NAME = 'Description=Fleetlink, under PM2';
const SYSTEMD = '[ -d /run/systemd/system ]';

/**
 * PM2 and what it ran, when the machine starts. It is asked only then: a deploy never goes through systemd. It has no command that stops
 * PM2: systemd runs that also once PM2 was ended by somebody else, and would end the one that took its place. PM2 stops the service when it
 * is told to end itself.
 */
export function renderUnit(user: string, root: string): string {
  const pm2 = `${root}/base/current/bin/node ${root}/base/current/pm2/node_modules/pm2/bin/pm2`;
  return `[Unit]
${UNIT_NAME}
After=network-online.target
Wants=network-online.target

[Service]
Type=forking
User=${user}
Environment=PM2_HOME=${root}/pm2 FLEETLINK_ROOT=${root} HOME=${root}
Environment=PATH=${root}/base/current/bin:/usr/local/bin:/usr/bin:/bin
PIDFile=${root}/pm2/pm2.pid
ExecStart=${pm2} resurrect
ExecReload=${pm2} reload all
KillMode=mixed
TimeoutStopSec=60
Restart=on-failure
LimitNOFILE=65536
UMask=0027

[Install]
WantedBy=multi-user.target
`;
}

/** Where there is systemd; elsewhere somebody else starts what has to run. */
function startAtBoot(user: string, root: string): string {
  const text = renderUnit(user, root);
  return `if ! ${SYSTEMD} || [ "$(cat ${UNIT} 2>/dev/null)" = ${quote(text.trimEnd())} ]; then echo ok; exit; fi
${refuseOthers(UNIT, [UNIT_NAME])}
changing
printf '%s' ${quote(text)} >${UNIT}.new
mv ${UNIT}.new ${UNIT}
systemctl daemon-reload
systemctl enable --quiet fleetlink.service
echo changed`;
}

/** Fails where a file is there without one of these lines. */
function refuseOthers(path: string, lines: readonly string[]): string {
  const own = lines.map((line) => `-e ${quote(line)}`).join(' ');
  return `if [ -e ${path} ] && ! grep -qF ${own} ${path}; then
  echo ${quote(`${path} is somebody else's: move what it says elsewhere, or take it away.`)} >&2
  exit 1
fi`;
}

const CADDYFILE = '/etc/caddy/Caddyfile';
/** Of the file that comes with Debian's package. */
const DEBIANS = '# The Caddyfile is an easy way to configure your Caddy web server.';

/** Debian's package. What it is told is checked before it is put in place. */
function serveWithCaddy(ingress: Ingress): string {
  const text = renderCaddyfile(ingress);
  return `if pgrep -x caddy >/dev/null && [ "$(cat ${CADDYFILE} 2>/dev/null)" = ${quote(text.trimEnd())} ]; then echo ok; exit; fi
${refuseOthers(CADDYFILE, [CADDYFILE_BEGIN, DEBIANS])}
changing
command -v caddy >/dev/null || { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends caddy; } >/dev/null
mkdir -p /etc/caddy
printf '%s' ${quote(text)} >${CADDYFILE}.new
caddy validate --adapter caddyfile --config ${CADDYFILE}.new >/dev/null
mv ${CADDYFILE}.new ${CADDYFILE}
if ${SYSTEMD}; then systemctl enable --quiet caddy && systemctl reload-or-restart caddy
elif pgrep -x caddy >/dev/null; then caddy reload --force --config ${CADDYFILE} >/dev/null 2>&1
else caddy start --config ${CADDYFILE} >/dev/null 2>&1 </dev/null; fi
echo changed`;
}
