import { CommandError, EXIT } from "./command.ts";

/**
 * Imports a program of the laboratory (`lab/`: the dev cluster, load under churn, the demo), which the image and an
 * installation without development packages do not have.
 * @throws {CommandError} that says where to get it, when it is not there.
 */
export async function fromLaboratory<T>(command: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new CommandError(
      EXIT.fault,
      `this command is part of the laboratory, which this installation does not have: run it from a checkout of Lychgate (npm ci, then npx lychgate ${command})`,
      { cause: error },
    );
  }
}
