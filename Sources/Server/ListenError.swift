internal import Foundation
internal import NIOCore

/// An address that the server cannot listen on.
package struct ListenError: Error, CustomStringConvertible {
    package let description: String

    init(host: String, port: Int, reason: any Error) {
        let system = (reason as? IOError)?.errnoCode
        description =
            switch system {
            case EADDRINUSE:
                "Port \(port) is in use by another process. Stop it, or give another --port."
            case EACCES:
                "Port \(port) is reserved for privileged processes. Give a --port above 1023."
            case EADDRNOTAVAIL:
                "This machine has no address \(host). Give another --host; 0.0.0.0 takes all."
            default: "Cannot listen on \(host):\(port): \(reason)"
            }
    }
}
