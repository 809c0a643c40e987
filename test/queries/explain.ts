import type pg from "pg";

/** What a statement reads of a table. */
export interface Scan {
  readonly table: string;
  /** The index as docs/queries.sql names it, not the partition's own; undefined: the table is read from end to end. */
  readonly index: string | undefined;
  /** False where the executor left it out by a value it learnt on the way, or had enough rows before. */
  readonly executed: boolean;
}

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Loops"?: number;
  readonly Plans?: readonly PlanNode[];
}

/** Every table that the statement's plan names; those that pruning took out at its start are not in it. */
export async function explain(client: pg.Client, sql: string): Promise<readonly Scan[]> {
  const { rows } = await client.query<{ "QUERY PLAN": readonly { Plan: PlanNode }[] }>(
    `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${sql}`,
  );
  const [plan] = rows[0]?.["QUERY PLAN"] ?? [];
  if (plan === undefined) throw new Error("EXPLAIN gave no plan");
  return scans(plan.Plan, await indexNames(client));
}

function scans(node: PlanNode, names: ReadonlyMap<string, string>): readonly Scan[] {
  const { "Relation Name": table, Plans: children = [] } = node;
  if (table === undefined) return children.flatMap((child) => scans(child, names));
  const executed = (node["Actual Loops"] ?? 0) > 0;
  const indexes = [node, ...bitmaps(children)].flatMap(({ "Index Name": index }) => index ?? []);
  const found = indexes.length === 0 ? [undefined] : indexes.map((index) => names.get(index) ?? index);
  const inside = children.flatMap((child) => scans(child, names));
  return [...found.map((index) => ({ table, index, executed })), ...inside];
}

const bitmaps = (nodes: readonly PlanNode[]): readonly PlanNode[] =>
  nodes.flatMap((node) => (node["Node Type"].startsWith("Bitmap") ? [node, ...bitmaps(node.Plans ?? [])] : []));

/** By a partition's index, the table's index that it is part of. */
async function indexNames(client: pg.Client): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query<{ part: string; whole: string }>(
    `SELECT part.relname AS part, whole.relname AS whole FROM pg_inherits
     JOIN pg_class part ON part.oid = inhrelid JOIN pg_class whole ON whole.oid = inhparent
     WHERE whole.relkind = 'I'`,
  );
  return new Map(rows.map(({ part, whole }) => [part, whole]));
}
