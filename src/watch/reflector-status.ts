import type { ResourceVersion } from "../routes/resource-version.ts";
import type { Milliseconds } from "../system/clock.ts";
import type { ReportedFault } from "./fault-reports.ts";
import type { ReflectorState } from "./list-watch-state.ts";

/** What a reflector can say of itself. */
export interface ReflectorStatus {
  /** The watched namespace; `""` is all. */
  readonly scope: string;
  readonly state: ReflectorState["kind"];
  /** A first list was taken. */
  readonly synced: boolean;
  /** As last told to the sink ({@link ObservationSink.setLive}): true for a grace after a watch has ended. */
  readonly live: boolean;
  /** A watch is open and was answered. */
  readonly connected: boolean;
  /** Everything up to here was delivered; undefined before the first list. */
  readonly watermark: ResourceVersion | undefined;
  /** When the server was last heard on a watch or a list came in, in milliseconds since the epoch. */
  readonly lastHeardAtMs: Milliseconds | undefined;
  /** Time since then, by a clock that nobody sets. */
  readonly ageMs: Milliseconds | undefined;
  /** When the last object event was delivered, in milliseconds since the epoch. */
  readonly lastEventAtMs: Milliseconds | undefined;
  /** Lists begun for another reason than `initial`. */
  readonly relists: number;
  /** Watches that ended and were, or will be, followed by another. */
  readonly restarts: number;
  /** What went wrong last, as it was logged, while it has not been cured. */
  readonly lastFault: ReportedFault | undefined;
}
