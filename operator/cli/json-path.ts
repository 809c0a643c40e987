/**
 * The part of kubectl's JSONPath that printer columns use: `.a.b`, `[*]`, `[?(@.type=="Ready")]`. Answers every value
 * found. Pure.
 */
export function jsonPath(value: unknown, path: string): unknown[] {
  const steps = path.match(/\.[\w-]+|\[\*\]|\[\?\(@\.\w+=="[^"]*"\)\]/g) ?? [];
  return steps.reduce((found: unknown[], step) => found.flatMap((inner) => take(inner, step)), [value]);
}

function take(value: unknown, step: string): unknown[] {
  if (step.startsWith(".")) {
    const member = isRecord(value) ? value[step.slice(1)] : undefined;
    return member === undefined || member === null ? [] : [member];
  }
  if (!Array.isArray(value)) return [];
  const [, name, wanted] = /@\.(\w+)=="([^"]*)"/.exec(step) ?? [];
  return name === undefined ? value : value.filter((item) => isRecord(item) && item[name] === wanted);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
