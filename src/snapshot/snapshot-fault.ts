/**
 * Why a snapshot is not used. A closed list: these words are metric labels.
 *
 * | code | meaning |
 * |---|---|
 * | `unreadable` | the system refused to read it, or it is no file |
 * | `damaged` | cut off, changed, or not a snapshot at all |
 * | `unknown_format` | written by a version of Lychgate whose format this one does not know |
 * | `foreign` | made of another API server, another selector or other namespaces than this router watches |
 */
export const SNAPSHOT_FAULTS = ["unreadable", "damaged", "unknown_format", "foreign"] as const;

/** One of {@link SNAPSHOT_FAULTS}. */
export type SnapshotFaultCode = (typeof SNAPSHOT_FAULTS)[number];

/** A snapshot can't be used. The message says why, in words for a log, and holds nothing of the snapshot's contents. */
export class SnapshotFault extends Error {
  override readonly name = "SnapshotFault";
  readonly code: SnapshotFaultCode;

  constructor(code: SnapshotFaultCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
