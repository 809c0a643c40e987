import { InvalidError, type KubeObject } from "../runtime/object-store.ts";
import { isKind, kinds } from "./kinds.ts";

/** Answers the object with defaults filled in; throws InvalidError. `old` is the object it replaces. */
export type Admit = (object: KubeObject, old: KubeObject | undefined) => KubeObject;

type Content = KubeObject & Record<string, unknown>;

/** The checks an API server makes of every object, and of the built-in kinds as far as they could do harm. */
export function admitBuiltIn(draft: Content): Content {
  const object = withoutStringData(draft);
  const causes = [...identityCauses(object), ...dataCauses(object)];
  if (causes.length > 0) {
    const text = causes.map(({ field, message }) => `${field}: ${message}`).join("; ");
    throw new InvalidError(
      `${object.kind} ${object.metadata.namespace}/${object.metadata.name} is invalid: ${text}`,
      causes,
    );
  }
  return object;
}

/** A Secret's `stringData` is for writing only: it becomes `data`, and wins over it. */
export function withoutStringData<T extends Record<string, unknown>>(object: T): T {
  const { stringData, ...rest } = object;
  if (object["kind"] !== "Secret" || !isStringMap(stringData)) return object;
  const encoded = Object.entries(stringData).map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
  const data = isStringMap(rest["data"]) ? rest["data"] : {};
  return { ...rest, data: { ...data, ...Object.fromEntries(encoded) } } as unknown as T;
}

interface Cause {
  field: string;
  message: string;
}

function* identityCauses({ apiVersion, kind, metadata }: KubeObject): Generator<Cause> {
  if (!isKind(kind)) {
    yield {
      field: "kind",
      message: `${JSON.stringify(kind)} is not kept here; allowed: ${Object.keys(kinds).join(", ")}`,
    };
  } else if (apiVersion !== kinds[kind]) {
    yield {
      field: "apiVersion",
      message: `${JSON.stringify(apiVersion)} is not ${kinds[kind]}, the version of ${kind}`,
    };
  }
  if (!isSubdomain(metadata.name)) {
    yield { field: "metadata.name", message: `${JSON.stringify(metadata.name)} is not ${subdomainRule}` };
  }
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(metadata.namespace)) {
    yield { field: "metadata.namespace", message: `${JSON.stringify(metadata.namespace)} is not ${labelRule}` };
  }
}

function* dataCauses(object: Content): Generator<Cause> {
  if (object.kind !== "Secret" && object.kind !== "ConfigMap") return;
  const { data = {} } = object;
  if (!isStringMap(data)) {
    yield { field: "data", message: "is not a map of strings" };
    return;
  }
  for (const [key, value] of Object.entries(data)) {
    // They become file names.
    if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key) || key === "." || key.startsWith("..")) {
      yield { field: `data[${JSON.stringify(key)}]`, message: "a key holds letters, digits, '-', '_' or '.' alone" };
    } else if (object.kind === "Secret" && !/^[A-Za-z0-9+/]*={0,2}$/.test(value.replaceAll(/\s/g, ""))) {
      yield { field: `data.${key}`, message: "is not base64; for plain text use stringData" };
    }
  }
}

const labelRule = "a DNS label: lower-case letters, digits and '-', 63 characters at the most";
const subdomainRule = "a DNS name: lower-case letters, digits, '-' and '.', 253 characters at the most";

const isSubdomain = (name: unknown): boolean =>
  typeof name === "string" &&
  name.length <= 253 &&
  /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);

const isStringMap = (value: unknown): value is Record<string, string> =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((v) => typeof v === "string");
