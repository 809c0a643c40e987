/** What a run measures; `make bench-sink EVENTS=1000000` sets one. */
export interface Settings {
  /** Events in each round. */
  readonly events: number;
  readonly rounds: number;
  readonly seed: number;
  /** Of an event's value, about. */
  readonly bytes: number;
  readonly partitions: number;
  /** Millions of events that one sink process takes in at one go, for its memory; 0 leaves that out. */
  readonly millions: number;
  /** How long events are sent at a steady rate; 0 leaves that out. */
  readonly pacedSeconds: number;
  /** That rate; 0 for 60 % of the measured one, which `ROUNDS=0` leaves unknown. */
  readonly perSecond: number;
}

const defaults: Settings = {
  events: 300_000,
  rounds: 5,
  seed: 1,
  bytes: 600,
  partitions: 6,
  millions: 2,
  pacedSeconds: 30,
  perSecond: 0,
};

/** EVENTS, ROUNDS, SEED, BYTES, PARTITIONS, MILLIONS, PACED_SECONDS, PER_SECOND. Throws on what is no number or too small. */
export function settingsOf(env: NodeJS.ProcessEnv): Settings {
  const entries = Object.entries(defaults).map(([name, value]) => [name, numberOf(env, name, value)]);
  return Object.fromEntries(entries);
}

const mayBeZero = ["rounds", "millions", "pacedSeconds", "perSecond"];

function numberOf(env: NodeJS.ProcessEnv, name: string, otherwise: number): number {
  const variable = name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  const text = env[variable];
  if (text === undefined || text === "") return otherwise;
  const value = Number(text);
  const least = mayBeZero.includes(name) ? 0 : 1;
  if (Number.isNaN(value) || value < least) throw new Error(`${variable} is ${text}: it must be ${least} or more`);
  return value;
}
