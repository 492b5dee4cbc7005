/**
 * Shows our figures in `pm2 monit` and `pm2 jlist`.
 *
 * Of @pm2/io only the two parts that send figures are loaded: its front door opens an inspector session with the CPU and
 * heap profilers on, wraps http's servers and catches exceptions, whatever it is told.
 */

import type { Clock } from '../kernel/clock.ts';
import { type Figures, showMs } from './figures.ts';

export interface Pm2MonitorDeps {
  readonly readFigures: () => Promise<Figures>;
  readonly clock: Clock;
  /** From then on there is nothing more to read figures from. */
  readonly isOver: () => boolean;
}

const REFRESH_MS = 1000;

/** Shows what `readFigures` says, anew each second until `isOver`. */
export async function showInPm2({ readFigures, clock, isOver }: Pm2MonitorDeps): Promise<void> {
  const [{ IPCTransport }, { ServiceManager }, { MetricService, MetricType }] = await Promise.all([
    import('@pm2/io/build/main/transports/IPCTransport.js'),
    import('@pm2/io/build/main/serviceManager.js'),
    import('@pm2/io/build/main/services/metrics.js'),
  ]);
  let figures = await readFigures();
  ServiceManager.set('transport', new IPCTransport().init());
  const service = new MetricService();
  service.init();
  const show = (name: string, unit: string, handler: () => number | string) =>
    service.registerMetric({
      name,
      unit,
      type: MetricType.gauge,
      historic: false,
      implementation: null,
      handler,
    });
  show('redirects', '/min', () => figures.redirectsPerMinute);
  show('redirect p95', 'ms', () => showMs(figures.redirectP95Ms));
  show('state', '', () => figures.ready);
  for (await clock.sleep(REFRESH_MS); !isOver(); await clock.sleep(REFRESH_MS)) {
    figures = await readFigures();
  }
}
