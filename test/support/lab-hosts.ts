/** What hosts of a lab are given so that no test has to build it: the Node, PM2 and modules of this machine, where a deploy looks for them. */

import { resolve } from 'node:path';

export const REMOTE_ROOT = '/opt/fleetlink';
/** The layer that stands for the modules of every release. */
export const TEST_MODULES = 'modules-of-the-tests';
/** See LabOptions. */
export const LENT = { node: process.execPath, node_modules: resolve('node_modules') };
/** A line of shell for each host. */
export const INSTALL_MODULES = `set -e; cd ${REMOTE_ROOT}; mkdir -p layers/${TEST_MODULES}
ln -s /opt/lent/node_modules layers/${TEST_MODULES}/node_modules`;
export const INSTALL = `${INSTALL_MODULES}
mkdir -p base/test/bin base/test/pm2
ln -s /opt/lent/node base/test/bin/node
ln -s /opt/lent/node_modules base/test/pm2/node_modules
ln -s test base/current`;
