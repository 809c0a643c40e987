import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";

/** One query of docs/queries.sql. */
export interface Query {
  readonly name: string;
  /** As psql would send it, its variables replaced. @throws where one is not given */
  bind(values: Readonly<Record<string, string | number>>): string;
}

const text = readFileSync(join(import.meta.dirname, "../../docs/queries.sql"), "utf8");
const [head = "", ...blocks] = text.split(/^-- name: /m);

/** What `\if :{?name} … \set name value` in the head gives where nothing is set. */
const defaults = Object.fromEntries(
  [...head.matchAll(/^ *\\set (\w+) '?(.*?)'?$/gm)].map(([, name = "", value = ""]) => [name, value]),
);

export const queries: readonly Query[] = blocks.map((block) => {
  const [name = "", ...lines] = block.split("\n");
  const sql = lines.filter((line) => !line.startsWith("--")).join("\n");
  return { name, bind: (values) => interpolated(sql, { ...defaults, ...values }) };
});

export function query(name: string): Query {
  const found = queries.find((query) => query.name === name);
  if (found === undefined) throw new Error(`docs/queries.sql has no query ${name}`);
  return found;
}

/** psql's rules: `:'name'` is a quoted literal, `:name` the text itself, and `::` is a cast. */
function interpolated(sql: string, values: Readonly<Record<string, string | number>>): string {
  return sql.replace(/(?<!:):('?)([a-z_]+)\1/g, (_, quote: string, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`The query takes ${name}`);
    return quote === "" ? String(value) : pg.escapeLiteral(String(value));
  });
}
