// Moves a link and dies with its options: the process that a test kills.
import { systemClock } from "../../../../src/system/clock.ts";
import { moveLink } from "../../../../src/node/link/mover.ts";
import type { MoveOptions } from "../../../../src/node/link/begin-move.ts";

// What is called in its name knows whom to kill.
process.env["LYCH_MOVER"] = String(process.pid);
const options = JSON.parse(process.argv[2] ?? "") as MoveOptions;
const { step } = await moveLink(options, { clock: systemClock, progress: () => {} });
process.stdout.write(JSON.stringify(step));
