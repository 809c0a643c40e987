import type pg from "pg";
import { chainOver, dispositions, genesis, link } from "../support/reference-chain.ts";
import type { Forgery } from "./attack.ts";

interface Row {
  readonly isEvent: boolean;
  readonly offset: number;
  readonly lastOffset: number;
  readonly disposition: number;
  readonly tenant: string;
  readonly recordedAt: number | null;
  readonly sha256: Buffer;
  readonly chain: Buffer;
}

/** Carries a forgery out in `schema`, where the attacker has computed the chain as docs/chain.md says. */
export async function commit(client: pg.Client, schema: string, topicId: string, forgery: Forgery): Promise<void> {
  for (const statement of forgery.statements) await client.query(statement.replaceAll("S.", `${schema}.`));
  if (forgery.rechain !== undefined) await rechain(client, schema, topicId, forgery.rechain);
}

async function rechain(
  client: pg.Client,
  schema: string,
  topicId: string,
  { partition, from }: { readonly partition: number; readonly from: number },
): Promise<void> {
  const { rows } = await client.query<Row>(
    `SELECT true AS "isEvent", "offset"::int, "offset"::int AS "lastOffset", 0 AS disposition, tenant,
       (extract(epoch FROM recorded_at) * 1000)::float8 AS "recordedAt", sha256, chain FROM ${schema}.events WHERE partition = $1
     UNION ALL SELECT false, "offset"::int, last_offset::int, disposition, tenant,
       (extract(epoch FROM recorded_at) * 1000)::float8, sha256, chain FROM ${schema}.skipped WHERE partition = $1 ORDER BY 2`,
    [partition],
  );
  let chain = rows.findLast(({ offset }) => offset < from)?.chain ?? genesis(topicId, partition);
  const made = rows
    .filter(({ offset }) => offset >= from)
    .map(({ disposition, recordedAt, ...row }) => {
      const named = dispositions[disposition] ?? "Gone";
      chain = chainOver(chain, link(topicId, partition, { ...row, disposition: named, recordedAt: recordedAt ?? 0 }));
      return { isEvent: row.isEvent, offset: row.offset, chain };
    });
  for (const table of ["events", "skipped"]) {
    const mine = made.filter(({ isEvent }) => isEvent === (table === "events"));
    await client.query(
      `UPDATE ${schema}.${table} t SET chain = n.chain FROM unnest($1::bigint[], $2::bytea[]) n("offset", chain)
       WHERE t.partition = $3 AND t."offset" = n."offset"`,
      [mine.map(({ offset }) => offset), mine.map((row) => row.chain), partition],
    );
  }
  await client.query(`UPDATE ${schema}.progress SET chain = $1 WHERE partition = $2`, [chain, partition]);
}
