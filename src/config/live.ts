import type { EffectiveConfig } from "./load.ts";
import type { Config } from "./schema.ts";
import { valueOf } from "./render.ts";
import { type Setting, SETTINGS } from "./settings.ts";

/** What a reload came to, by keys (`client.maxConnections`). */
export interface Reloaded {
  /** Have another value now. */
  readonly changed: readonly string[];
  /** Have another value in the sources, and keep the old one until the router is started again. */
  readonly needRestart: readonly string[];
}

/**
 * A part that takes a changed configuration. It is asked first, and may throw: then nothing changes anywhere. What it
 * returns makes the change, and must not throw.
 */
export type LiveParticipant = (config: Config) => () => void;

/**
 * The configuration in effect, and the one place where it changes while the router runs: keys that the schema calls `live`
 * take what a reload brings, all others keep what they had at the start. Either all participants change or none does.
 */
export class LiveConfig {
  #loaded: EffectiveConfig;
  readonly #participants: LiveParticipant[] = [];

  constructor(loaded: EffectiveConfig) {
    this.#loaded = loaded;
  }

  /** In effect now. */
  get config(): Config {
    return this.#loaded.config;
  }

  /** In effect now, with where each value came from. */
  get loaded(): EffectiveConfig {
    return this.#loaded;
  }

  /** Adds a participant. It is not called before the first {@link reload}. */
  join(participant: LiveParticipant): void {
    this.#participants.push(participant);
  }

  /** Puts the live keys of `next` in effect. Participants are called even if nothing differs: files may. Throws what they throw. */
  reload(next: EffectiveConfig): Reloaded {
    const { config: now } = this.#loaded;
    const differing = SETTINGS.filter((setting) => !isSame(setting, now, next.config));
    const merged = merge(this.#loaded, next);
    const commits = this.#participants.map((participant) => participant(merged.config));
    this.#loaded = merged;
    for (const commit of commits) commit();
    return {
      changed: differing.filter(({ live }) => live).map(({ key }) => key),
      needRestart: differing.filter(({ live }) => !live).map(({ key }) => key),
    };
  }
}

function isSame(setting: Setting, one: Config, other: Config): boolean {
  return JSON.stringify(valueOf(one, setting)) === JSON.stringify(valueOf(other, setting));
}

function merge(now: EffectiveConfig, next: EffectiveConfig): EffectiveConfig {
  const merged = structuredClone(now.config) as Record<string, unknown>;
  const origins = new Map(now.origins);
  for (const setting of SETTINGS) {
    const { key, section } = setting;
    if (!setting.live && !isSame(setting, now.config, next.config)) continue;
    const members = section === "" ? merged : (merged[section] as Record<string, unknown>);
    members[section === "" ? key : key.slice(section.length + 1)] = valueOf(next.config, setting);
    const origin = next.origins.get(key);
    if (origin) origins.set(key, origin);
  }
  return { config: merged as unknown as Config, origins, file: next.file };
}
