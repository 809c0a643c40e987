import type { HostileCase } from "../record.ts";
import { attributeCases } from "./attributes.ts";
import { jsonCases } from "./json.ts";
import { textCases } from "./text.ts";

/** Every named case; what becomes of each is stated beside it. */
export const corpus: readonly HostileCase[] = [...jsonCases, ...textCases, ...attributeCases];
