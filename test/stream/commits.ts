import { setTimeout as sleep } from "node:timers/promises";
import { readProgress, rememberFurthest, type World } from "./world.ts";

const LOOK_EVERY_MS = 500;

/**
 * Looks all the time whether the group's committed offsets stay within what is settled, and returns where they did not.
 * After the ledger went back they may be ahead of it, though never of what it once held.
 */
export async function watchCommits(world: World, groupId: string, signal: AbortSignal): Promise<string[]> {
  const problems = new Set<string>();
  while (!signal.aborted) {
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    const committed = await world.topics.committed(groupId).catch(() => []);
    // PostgreSQL may be down: then nothing can be said this time.
    const progress = await readProgress(world).catch(() => undefined);
    if (progress === undefined) continue;
    rememberFurthest(world, progress);
    for (const [partition, offset] of committed.entries()) {
      const most = world.furthest.get(partition) ?? 0;
      if (offset > most)
        problems.add(`Partition ${partition}: the group committed ${offset} while ${most} was settled`);
    }
  }
  return [...problems].slice(0, 5);
}
