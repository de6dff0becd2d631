internal import JSONTree
internal import OpenAIWire

/// A request on its way, as far as the router looks at it.
package struct RoutedRequest: Sendable {
    /// The model that it names; nil when it names none.
    package var model: String?
    /// Who sent it, so that one tenant's waiting requests leave room for others'.
    package var tenant = ""
    package var byteCount = 0
    /// How its text begins, as `ClusterView.Request.prefix`.
    package var prefix: [UInt64] = []
    /// Replicas that the gateway allows; nil for all.
    package var allowed: Set<String>?

    package init() {}
}

/// What becomes of a request.
package enum RoutingDecision: Sendable, Equatable {
    /// Where to send it: `host:port`, the best first.
    case send([String])
    case refuse(Refusal)

    package struct Refusal: Sendable, Equatable {
        package var status: Int
        package var code: String
        package var message: String
        /// Seconds after which it is worth another try.
        package var retryAfter: Int

        package init(status: Int, code: String, message: String, retryAfter: Int) {
            self.status = status
            self.code = code
            self.message = message
            self.retryAfter = retryAfter
        }
    }
}

extension RoutingDecision {
    static let nobodyAllowed = RoutingDecision.refuse(
        Refusal(
            status: 503, code: "no_replica",
            message: "None of the replicas that this gateway allows can answer now.",
            retryAfter: 1))

    /// - Parameter reason: a sentence.
    static func noReplica(_ reason: String) -> RoutingDecision {
        .refuse(
            Refusal(
                status: 503, code: "no_replica", message: "No replica can answer now. \(reason)",
                retryAfter: 5))
    }
}

extension RoutingDecision.Refusal {
    /// In the words of the API.
    var json: JSON {
        APIError(
            status: status, type: status >= 500 ? "server_error" : "invalid_request_error",
            code: code, message: message
        ).json
    }

    var headers: [(name: String, value: String)] {
        let type = (name: "content-type", value: "application/json")
        return retryAfter > 0 ? [type, ("retry-after", "\(retryAfter)")] : [type]
    }
}
