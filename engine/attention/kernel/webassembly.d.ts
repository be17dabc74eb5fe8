// The part of the WebAssembly API that the kernel's host uses. Node's types leave it to the DOM
// library, which a server should not have in scope.
declare namespace WebAssembly {
  interface MemoryDescriptor {
    initial: number;
    maximum?: number;
    shared?: boolean;
  }
  interface Memory {
    readonly buffer: SharedArrayBuffer;
    /** @returns the size before, in pages of 64 KiB */
    grow(pages: number): number;
  }
  /** Opaque; can be sent to other threads. */
  type Module = object;
  interface Instance {
    readonly exports: Record<string, unknown>;
  }
  const Memory: new (descriptor: MemoryDescriptor) => Memory;
  const Module: {
    new (bytes: Uint8Array<ArrayBuffer>): Module;
    /** Contents of the custom sections of that name. */
    customSections(module: Module, name: string): ArrayBuffer[];
  };
  const Instance: new (
    module: Module,
    imports: Record<string, Record<string, unknown>>,
  ) => Instance;
}
