import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

import type { NotAdmitted } from "../passage/admission.ts";
import type { LaneOptions } from "../passage/lane.ts";
import { closeWithReply } from "../reply/raw-reply.ts";
import { replyFor } from "../reply/reply.ts";
import { RequestTrace } from "../record/request-trace.ts";
import { tracedRequest } from "../record/traced-request.ts";

/**
 * Answers what never became a request of node:http (a malformed or late head, CONNECT), in the format of every other
 * refusal, tells its record and closes the connection.
 */
export function refuseUnparsed(
  socket: Socket,
  { reason, message }: NotAdmitted,
  options: LaneOptions,
  request?: IncomingMessage,
): void {
  const trace = new RequestTrace(tracedRequest(request ?? { socket }), options);
  const reply = replyFor(reason, trace.replyContext(message));
  trace.bytesOut = reply.body.length;
  options.refusals.tell(trace, reason);
  closeWithReply(socket, reply, options.clock);
  trace.end(reply.status, reason);
}
