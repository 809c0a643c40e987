/** "yes"; the code of the error, as the server says it; or, of a look at something, what is seen. */
export type Answer = string;

/** One object and one verb: what each principal must be answered. Who is left out is not asked. */
export interface Row<Principal extends string, Context> {
  readonly object: string;
  readonly verb: string;
  readonly expect: Readonly<Partial<Record<Principal, Answer>>>;
  ask(principal: Principal, context: Context): Promise<Answer>;
}

export interface Section<Principal extends string, Context> {
  readonly title: string;
  readonly principals: readonly Principal[];
  readonly rows: readonly Row<Principal, Context>[];
}

/** What the matrix needs of a section: the context is for those who ask. */
type Table = Section<string, never>;

export const cellsOf = ({ rows }: Table): number =>
  rows.reduce((count, { expect }) => count + Object.keys(expect).length, 0);

/** One line for each row, so that a difference names object, verb, principal and both answers. */
export const expectedLines = ({ principals, rows }: Table): string[] =>
  rows.map((row) => line(principals, row, row.expect));

/** Asks every cell, one after the other: a refusal must not come from another cell's doing. */
export async function askedLines<Principal extends string, Context>(
  { principals, rows }: Section<Principal, Context>,
  context: Context,
): Promise<string[]> {
  const lines: string[] = [];
  for (const row of rows) {
    const answers: Partial<Record<Principal, Answer>> = {};
    for (const principal of principals) {
      if (row.expect[principal] !== undefined) answers[principal] = await row.ask(principal, context);
    }
    lines.push(line(principals, row, answers));
  }
  return lines;
}

const line = (
  principals: readonly string[],
  { object, verb }: { object: string; verb: string },
  answers: Readonly<Partial<Record<string, Answer>>>,
) => [`${object}: ${verb}`, ...principals.map((principal) => `${principal}: ${answers[principal] ?? "—"}`)].join(" | ");

/** The tables as docs/tenancy-matrix.md has them. */
export function renderMatrix(sections: readonly Table[]): string {
  const total = sections.reduce((count, section) => count + cellsOf(section), 0);
  return `${[
    "# The tenancy matrix",
    "",
    `Written by \`node test/tenancy/render.ts\` from the table that \`test/tenancy/tenancy.test.ts\` asks of real servers: ${total} cells. \`yes\`: it works. A code: refused with exactly this. What it means is in [tenancy.md](tenancy.md).`,
    ...sections.flatMap((section) => ["", `## ${section.title}`, "", ...renderSection(section)]),
  ].join("\n")}\n`;
}

function renderSection({ principals, rows }: Table): string[] {
  return [
    `| object | verb | ${principals.join(" | ")} |`,
    `|---|---|${principals.map(() => "---|").join("")}`,
    ...rows.map(
      ({ object, verb, expect }) =>
        `| ${object} | ${verb} | ${principals.map((principal) => short(expect[principal])).join(" | ")} |`,
    ),
  ];
}

/** Kafka's codes break no line: `TOPIC_AUTHORIZATION_FAILED` is said as it is, in small. */
const short = (answer: Answer | undefined) =>
  answer === undefined ? "" : /^[a-z]/.test(answer) ? answer : `\`${answer}\``;
