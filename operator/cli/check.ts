import { renderTable } from "./output.ts";

/** What one look came to. Skipped: it could not be looked at from here, which the detail explains. */
export interface Finding {
  readonly check: string;
  readonly result: "Ok" | "Failed" | "Skipped";
  readonly detail: string;
}

export const hasFailed = (findings: readonly Finding[]): boolean => findings.some(({ result }) => result === "Failed");

/** Pure. */
export function renderFindings(findings: readonly Finding[], format: "table" | "json"): string {
  if (format === "json") return `${JSON.stringify({ findings }, undefined, 2)}\n`;
  const rows = findings.map(({ check, result, detail }) => [check, result, detail]);
  return renderTable([["CHECK", "RESULT", "DETAIL"], ...rows]);
}
