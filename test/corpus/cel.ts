import { type CelInput, CelScalar, celEnv, celFunc, celMethod, parse, plan } from "@bufbuild/cel";
import { isRecord } from "../../crds/schema-tree.ts";

/** Apart from the parser of crds/, so that the two can disagree. */
function wholeBytes(text: string): bigint {
  const digits = text.replace(/\D+$/, "");
  const unit = text.slice(digits.length);
  const power = BigInt(["", "k", "M", "G", "T", "P"].indexOf(unit.replace("K", "k").replace("i", "")));
  return BigInt(digits) * (unit.endsWith("i") ? 1024n : 1000n) ** power;
}

/**
 * CEL as the API server has it, as far as the rules use it. quantity() is Kubernetes' own addition to the language:
 * here it is whole bytes, which is what the pattern beside each such rule leaves of it.
 */
const env = celEnv({
  funcs: [
    celFunc("quantity", [CelScalar.STRING], CelScalar.INT, wholeBytes),
    celMethod("compareTo", CelScalar.INT, [CelScalar.INT], CelScalar.INT, function (other) {
      return this < other ? -1n : this > other ? 1n : 0n;
    }),
  ],
});

/** Whole numbers are int, objects are maps, as in the API server. */
function toCel(value: unknown): CelInput {
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(toCel);
  if (isRecord(value)) {
    return new Map(Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, toCel(item)]])));
  }
  return value as CelInput;
}

const plans = new Map<string, ReturnType<typeof plan>>();

/** Throws where CEL's answer is an error or no boolean: the API server would refuse for that. */
export function evaluate(cel: string, self: unknown, oldSelf?: unknown): boolean {
  const run = plans.get(cel) ?? plan(env, parse(cel));
  plans.set(cel, run);
  const result = run({ self: toCel(self), oldSelf: toCel(oldSelf ?? null) });
  if (typeof result !== "boolean") throw new Error(`${cel} answers no boolean`, { cause: result });
  return result;
}
