// What a page sends that calls a gRPC service by gRPC-Web, with Connect's client. Bundled into the page by esbuild.
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { create, createFileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

const file = create(FileDescriptorProtoSchema, {
  name: "process.proto",
  package: "process",
  syntax: "proto3",
  messageType: [{ name: "Empty" }],
  service: [
    {
      name: "Process",
      method: [{ name: "List", inputType: ".process.Empty", outputType: ".process.Empty" }],
    },
  ],
});
const service = createFileRegistry(file, () => undefined).getService("process.Process");
const transport = createGrpcWebTransport({ baseUrl: location.origin });
createClient(service, transport)
  .list({}, { headers: { Authorization: `Bearer ${"g".repeat(48)}` }, timeoutMs: 30_000 })
  .catch(() => {});
