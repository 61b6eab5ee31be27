import { systemClock } from "../../system/clock.ts";
import type { Clock, Milliseconds } from "../../system/clock.ts";
import { silentLog } from "../../system/log.ts";
import type { Log } from "../../system/log.ts";
import { bytesOfHost, isUnicast } from "./endpoint.ts";
import type { FindMembers } from "./joining.ts";
import { Keyring } from "./keyring.ts";
import { Memberlist, type MemberView } from "./memberlist.ts";
import type { MemberlistObserver } from "./parts.ts";
import { DEFAULT_BOUNDS, LAN_SETTINGS, type Bounds, type ProtocolSettings } from "./settings.ts";
import { openSockets } from "./sockets.ts";

/** Options of {@link startMemberlist}. */
export interface StartOptions {
  /** Unique in the cluster. */
  readonly name: string;
  /** IP address to listen on; `0.0.0.0` and `::` are all. */
  readonly bindHost: string;
  /** For UDP and TCP; 0 lets the system choose. Defaults to 7946. */
  readonly bindPort?: number;
  /** IP address where the others reach this member. Defaults to `bindHost`, which must be one address then. */
  readonly advertiseHost?: string | undefined;
  /** Defaults to the port that is listened on. */
  readonly advertisePort?: number | undefined;
  readonly find: FindMembers;
  /** Whether an address may take part. Defaults to all. */
  readonly allows?: ((host: string) => boolean) | undefined;
  /** Called after each change of a member's status or address. */
  readonly changed?: (member: MemberView) => void;
  readonly settings?: ProtocolSettings;
  readonly bounds?: Bounds;
  /** At most 255 bytes. Defaults to none. */
  readonly label?: string;
  /** See {@link Keyring}. Defaults to none: everything is plain, and nobody proves who he is. */
  readonly keys?: readonly Uint8Array[];
  /** Defaults to true, as in memberlist. */
  readonly compress?: boolean;
  readonly observer?: MemberlistObserver;
  readonly clock?: Clock;
  readonly log?: Log;
}

/** A member that runs. */
export interface RunningMemberlist {
  readonly list: Memberlist;
  readonly port: number;
  /** Says that it leaves, within `leaveTimeoutMs` (0: not at all), and then stops. Resolves when the port is free. */
  stop(leaveTimeoutMs: Milliseconds): Promise<void>;
}

const DEFAULT_PORT = 7946;
const MAX_LABEL_BYTES = 255;

/**
 * Starts one member on real sockets. Rejects when the address is taken, with the system's error as `cause`; with
 * RangeError when a key or the label has a wrong length, or an address is none.
 */
export async function startMemberlist(options: StartOptions): Promise<RunningMemberlist> {
  const { name, bindHost, bindPort = DEFAULT_PORT, label = "", keys = [] } = options;
  const { settings = LAN_SETTINGS, bounds = DEFAULT_BOUNDS, clock = systemClock, log = silentLog } = options;
  if (Buffer.byteLength(label) > MAX_LABEL_BYTES)
    throw new RangeError(`the label has more than ${MAX_LABEL_BYTES} bytes`);
  const wrapping = {
    label,
    keyring: keys.length > 0 ? new Keyring(keys) : undefined,
    compress: options.compress ?? true,
  };
  const host = options.advertiseHost ?? bindHost;
  const address = bytesOfHost(host);
  if (!address || !isUnicast(address))
    throw new RangeError(`others can't reach ${host}: an advertised IP address is needed`);
  const { streamTimeoutMs } = settings;
  const sockets = await openSockets({
    host: bindHost,
    port: bindPort,
    wrapping,
    bounds,
    streamTimeoutMs,
    clock,
  });
  try {
    const port = options.advertisePort ?? sockets.port;
    const list = new Memberlist({
      self: { name, host, port },
      settings,
      bounds,
      wrapping,
      connect: (handler) => sockets.connect(handler),
      find: options.find,
      ...(options.allows && { allows: options.allows }),
      ...(options.changed && { changed: options.changed }),
      observer: options.observer ?? { refused() {}, probed() {} },
      clock,
      log,
    });
    list.start();
    return {
      list,
      port: sockets.port,
      async stop(leaveTimeoutMs) {
        if (leaveTimeoutMs > 0) await list.leave(leaveTimeoutMs);
        list.stop();
        await sockets.close();
      },
    };
  } catch (error) {
    await sockets.close();
    throw error;
  }
}
