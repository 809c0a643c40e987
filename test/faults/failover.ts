import { join } from "node:path";
import type pg from "pg";
import { type Postgres, startReplica } from "../../hack/servers/postgres.ts";
import {
  goesOn,
  type Progress,
  progressOf,
  readProgress,
  rememberFurthest,
  until,
  type World,
  withSuperuser,
} from "../stream/world.ts";
import type { Fault } from "./fault.ts";
import { Network } from "./network.ts";

export const failover = {
  failedOverToLaggingReplica: { row: 24, run: failedOver },
} as const satisfies Record<string, Fault>;

const LAG_BY = 1_000;

/**
 * A streaming replica that hears nothing of the last offsets takes over from a primary that is killed. Sinks were told
 * that those are committed: they must come again, and once.
 */
async function failedOver(world: World): Promise<void> {
  const primary = world.postgres.current;
  const line = new Network(primary);
  const dir = join(world.dir, `replica-${Date.now().toString(36)}`);
  const replica = await startReplica(primary, { dir, primaryPort: await line.listen() });
  await caughtUp(world, replica);
  line.silence("ToServer", "ToClient");

  const known = await readProgress(world);
  await until(`${LAG_BY} more offsets are settled`, 60_000, async () => {
    return settled(await readProgress(world).catch(() => known)) > settled(known) + LAG_BY;
  });
  const last = await killPrimary(world, primary);
  await line.close();
  await world.database.connectTo(replica, replica.superuser, (client) => client.query("SELECT pg_promote()"));
  await world.postgres.replaceBy(replica);

  const wentBack = settled(last) - settled(await readProgress(world));
  if (wentBack <= 0) throw new Error("The replica lagged by nothing: this failover proves nothing");
  world.say(`A replica took over that had not heard of the last ${wentBack} settled offsets`);
  await goesOn(world);
}

const settled = (progress: Progress) => [...progress.values()].reduce((sum, { nextOffset }) => sum + nextOffset, 0);

/** Nothing is committed after what is read here: the lock is held until the server is dead. */
function killPrimary(world: World, primary: Postgres): Promise<Progress> {
  return withSuperuser(world, async (client) => {
    await client.query("BEGIN");
    await client.query("LOCK TABLE audit.progress IN EXCLUSIVE MODE");
    const last = await progressOf(client);
    rememberFurthest(world, last);
    await primary.kill();
    return last;
  });
}

async function caughtUp(world: World, replica: Postgres): Promise<void> {
  const lsn = async (client: pg.Client, call: string) =>
    (await client.query<{ lsn: string }>(`SELECT ${call}::text AS lsn`)).rows[0]?.lsn;
  const target = await withSuperuser(world, (client) => lsn(client, "pg_current_wal_lsn()"));
  await world.database.connectTo(replica, replica.superuser, (client) =>
    until("the replica has caught up", 30_000, async () => {
      const { rows } = await client.query<{ there: boolean }>(
        "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS there",
        [target],
      );
      return rows[0]?.there === true;
    }),
  );
}
