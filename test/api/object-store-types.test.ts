import { expectTypeOf, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { ResourceMetadata } from "../../crds/v1alpha1/shared.ts";
import type { KubeObject, ObjectMeta } from "../../operator/runtime/object-store.ts";

// The compiler is the check: crds/ may not import the object store's types, and the two must fit all the same.
test("resources of the API are objects of the object store", () => {
  expectTypeOf<ResourceMetadata>().toEqualTypeOf<ObjectMeta>();
  expectTypeOf<AuditTopic>().toExtend<KubeObject>();
  expectTypeOf<AuditPipeline>().toExtend<KubeObject>();
});
