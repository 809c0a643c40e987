import { validateResource } from "../../crds/validate.ts";
import { StalledError } from "../errors.ts";
import type { KubeObject } from "../runtime/object-store.ts";

/**
 * The resource with the defaults of the API this operator knows. The API server has checked it already, but perhaps by
 * CRDs older than the operator: what a rule forbids is not acted on, wherever it came from.
 *
 * @throws StalledError InvalidSpec, naming each field, what was found and what is allowed
 */
export function validated<R extends KubeObject & { spec: unknown }>(resource: R): R {
  const validation = validateResource(resource);
  if (!validation.ok) throw new StalledError("InvalidSpec", validation.causes.map(({ message }) => message).join("; "));
  const { spec } = validation.value as { spec: R["spec"] };
  return { ...resource, spec };
}
