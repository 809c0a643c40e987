import { isDeepStrictEqual } from "node:util";
import { type Call, type KillPoint, PHASES } from "./life.ts";
import type { Scenario } from "./scenarios.ts";
import type { Servers } from "./servers.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { makeWorld, type World } from "./world.ts";

/** What a scenario does and leads to when nobody disturbs it. */
export interface Reference {
  readonly scenario: Scenario;
  readonly calls: readonly Call[];
  readonly state: Snapshot["state"];
  /** Objects that were there before and still are, as the same ones. */
  readonly survivors: ReadonlySet<string>;
}

export async function referenceRun(servers: Servers, scenario: Scenario, namespace: string): Promise<Reference> {
  return inWorld(servers, scenario, namespace, async (world, before) => {
    const { life } = await world.live();
    const calls = life.calls.map((call) => ({ ...call, what: call.what.replaceAll(namespace, "NS") }));
    const noise = await writesAtRest(world);
    if (noise.length > 0) throw new Error(`${scenario.name} undisturbed does not come to rest: ${noise.join("; ")}`);
    const after = await takeSnapshot(world);
    return { scenario, calls, state: after.state, survivors: survivors(before, after) };
  });
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

export interface KilledRun {
  /** False: this time the run needed fewer writes, and came to its end. */
  readonly killed: boolean;
  readonly problems: readonly string[];
}

/** Kills the operator at that point, starts it again, and says in what the end differs from the undisturbed one. */
export async function killedRun(
  servers: Servers,
  { scenario, calls, state, survivors: expected }: Reference,
  point: KillPoint,
  namespace: string,
): Promise<KilledRun> {
  return inWorld(servers, scenario, namespace, async (world, before) => {
    const first = await world.live({ killAt: point });
    const second = await world.live();
    const noise = await writesAtRest(world);
    const after = await takeSnapshot(world);
    const lost = [...expected].filter((name) => !survivors(before, after).has(name));
    const made = [...first.life.calls, ...second.life.calls].map((call) => call.what.replaceAll(namespace, "NS"));
    const known = new Set(calls.map(({ what }) => what));
    const problems = [
      ...noise.map((what) => `wrote at rest: ${what}`),
      ...lost.map((name) => `${name} was destroyed or made anew`),
      ...[...new Set(made)].filter((what) => DESTROYS.test(what) && !known.has(what)).map((what) => `sent: ${what}`),
      ...differences(state, after.state),
    ];
    return { killed: first.end === "killed", problems };
  });
}

const DESTROYS = /^(DROP|TRUNCATE|DELETE|delete|DeleteTopics|DeleteRecords|DeleteAcls|DeleteGroups)\b/;

async function inWorld<T>(
  servers: Servers,
  { before, act }: Scenario,
  namespace: string,
  work: (world: World, before: Snapshot) => Promise<T>,
): Promise<T> {
  const world = await makeWorld(servers, namespace);
  try {
    for (const step of before) {
      await step(world);
      await world.live();
    }
    const snapshot = await takeSnapshot(world);
    await act(world);
    return await work(world, snapshot);
  } finally {
    await world.close();
  }
}

/** What an operator that finds everything done still writes, at its start and in the passes after it. */
async function writesAtRest(world: World): Promise<string[]> {
  const { life } = await world.live({ rounds: 3 });
  return life.calls.map(({ what }) => what);
}

const survivors = (before: Snapshot, after: Snapshot): ReadonlySet<string> =>
  new Set([...before.identities].filter(([name, id]) => after.identities.get(name) === id).map(([name]) => name));

function differences(wanted: Snapshot["state"], found: Snapshot["state"]): string[] {
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].toSorted();
  return names.flatMap((name) => {
    if (!(name in found)) return [`${name} is missing`];
    if (!(name in wanted)) return [`${name} is left over`];
    return differing(wanted[name], found[name], name);
  });
}

/** The smallest parts that differ. */
function differing(wanted: unknown, found: unknown, path: string): string[] {
  if (isDeepStrictEqual(wanted, found)) return [];
  if (!isContainer(wanted) || !isContainer(found)) {
    return [`${path}: ${JSON.stringify(wanted)} became ${JSON.stringify(found)}`];
  }
  const keys = [...new Set([...Object.keys(wanted), ...Object.keys(found)])];
  return keys.flatMap((key) => differing(wanted[key], found[key], `${path}.${key}`));
}

const isContainer = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
