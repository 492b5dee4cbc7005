/**
 * The ids of a request: `X-Request-ID` is echoed when a client sent a sane one, and a W3C `traceparent` is continued.
 */

import type { IncomingHttpHeaders } from 'node:http';

const SANE_REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;
/** version "-" trace-id "-" parent-id "-" flags; version ff and all-zero ids are not valid, and 00 ends with its flags. */
const TRACEPARENT =
  /^(?!ff)(?!00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

export interface RequestIds {
  readonly requestId: string;
  readonly traceId: string;
}

/** `uuid` is a new random one; its 128 bits serve as the trace id where none came in. */
export function readRequestIds(headers: IncomingHttpHeaders, uuid: string): RequestIds {
  const { 'x-request-id': given, traceparent } = headers;
  const requestId = typeof given === 'string' && SANE_REQUEST_ID.test(given) ? given : uuid;
  const continued = typeof traceparent === 'string' ? TRACEPARENT.exec(traceparent)?.[1] : undefined;
  return { requestId, traceId: continued ?? uuid.replaceAll('-', '') };
}
