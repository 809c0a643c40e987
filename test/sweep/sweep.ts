import { differences } from "./differences.ts";
import { type Call, type KillPoint, PHASES } from "./life.ts";
import type { Scenario } from "./scenarios.ts";
import type { Servers } from "./servers.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { makeWorld } from "./world.ts";

/** What a scenario does and leads to when nobody disturbs it. */
export interface Reference extends Pick<Story, "state" | "survivors"> {
  readonly scenario: Scenario;
  /** What the operator wrote until it had settled: where it can be killed. */
  readonly calls: readonly Call[];
  readonly destroying: ReadonlySet<string>;
}

export interface KilledRun {
  /** False: this time the run needed fewer writes, and came to its end. */
  readonly killed: boolean;
  readonly problems: readonly string[];
}

export async function referenceRun(servers: Servers, scenario: Scenario, namespace: string): Promise<Reference> {
  const { first, writesAtRest, ...story } = await tell(servers, scenario, namespace);
  if (writesAtRest.length > 0)
    throw new Error(`${scenario.name} undisturbed does not come to rest: ${writesAtRest.join("; ")}`);
  return { scenario, calls: first.calls, ...story };
}

/** Kills the operator at that point, starts it again, and says in what the end differs from the undisturbed one. */
export async function killedRun(
  servers: Servers,
  reference: Reference,
  point: KillPoint,
  namespace: string,
): Promise<KilledRun> {
  const story = await tell(servers, reference.scenario, namespace, point);
  const lost = [...reference.survivors].filter((name) => !story.survivors.has(name));
  const unasked = [...story.destroying].filter((what) => !reference.destroying.has(what));
  const problems = [
    ...story.writesAtRest.map((what) => `wrote at rest: ${what}`),
    ...lost.map((name) => `${name} was destroyed or made anew`),
    ...unasked.map((what) => `sent, and the undisturbed run did not: ${what}`),
    ...differences(reference.state, story.state),
  ];
  return { killed: story.first.killed, problems };
}

/**
 * Where to kill it. What a transaction has not committed is undone whatever the phase: its statements take turns with
 * the phases, unless `every` is asked for.
 */
export const killPoints = ({ calls }: Reference, every = false): KillPoint[] =>
  calls.flatMap(({ insideTransaction }, n) =>
    PHASES.filter((_, turn) => every || insideTransaction === undefined || turn === n % PHASES.length).map((phase) => ({
      call: n + 1,
      phase,
    })),
  );

/** What came of a scenario, the namespace's name taken out. */
interface Story {
  readonly first: { readonly killed: boolean; readonly calls: readonly Call[] };
  readonly writesAtRest: readonly string[];
  readonly state: Snapshot["state"];
  /** Objects that were there before and still are, as the same ones. */
  readonly survivors: ReadonlySet<string>;
  /** What was sent that takes something away. */
  readonly destroying: ReadonlySet<string>;
}

const DESTROYS = /^(DROP|TRUNCATE|DELETE|delete|DeleteTopics|DeleteRecords|DeleteAcls|DeleteGroups)\b/;

async function tell(servers: Servers, scenario: Scenario, namespace: string, killAt?: KillPoint): Promise<Story> {
  const world = await makeWorld(servers, namespace);
  try {
    for (const step of scenario.before) {
      await step(world);
      await world.live();
    }
    const before = await takeSnapshot(world);
    await scenario.act(world);
    const { life, end } = await world.live(killAt && { killAt });
    await scenario.whileDead?.(world);
    const { life: next } = await world.live();
    // An operator that finds everything done, at its start and in the passes after it.
    const { life: last } = await world.live({ rounds: 3 });
    const after = await takeSnapshot(world);
    const calls = [...life.calls, ...next.calls].map(withoutName(namespace));
    return {
      first: { killed: end === "killed", calls: calls.slice(0, life.calls.length) },
      writesAtRest: last.calls.map(({ what }) => what),
      state: scenario.whileDead === undefined ? after.state : withoutReceipts(after.state),
      survivors: survivors(before, after),
      destroying: new Set(calls.map(({ what }) => what).filter((what) => DESTROYS.test(what))),
    };
  } finally {
    await world.close();
  }
}

const withoutName =
  (namespace: string) =>
  (call: Call): Call => ({ ...call, what: call.what.replaceAll(namespace, "NS") });

const withoutReceipts = (state: Snapshot["state"]) =>
  Object.fromEntries(Object.entries(state).filter(([name]) => !name.startsWith("Receipt ")));

const survivors = (before: Snapshot, after: Snapshot): ReadonlySet<string> =>
  new Set([...before.identities].filter(([name, id]) => after.identities.get(name) === id).map(([name]) => name));
