// Moves a link and dies with its options: the process that a test kills.
import { systemClock } from "../../../../src/system/clock.ts";
import { moveLink } from "../../../../src/node/link/mover.ts";
import type { MoveOptions } from "../../../../src/node/link/begin-move.ts";

const options = JSON.parse(process.argv[2] ?? "") as MoveOptions;
const { step } = await moveLink(options, { clock: systemClock, progress: () => {} });
process.stdout.write(JSON.stringify(step));
