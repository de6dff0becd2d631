internal import Hummingbird
internal import JSONTree
internal import OpenAIWire
internal import Placement
internal import ServiceLifecycle

/// `GET /admin/state`: what routers know of this server, once or as it changes.
struct StateRoutes {
    let state: ReplicaState
    let identity: ReplicaIdentity

    func add(to group: RouterGroup<APIContext>) {
        group.get("state") { request, context -> Response in
            let parameters = request.uri.queryParameters
            let known = try version(parameters["since"], boot: parameters["boot"])
            guard try isStream(parameters["stream"]) else {
                return Response(json: state.report(since: known).json)
            }
            return await stream(from: known, context)
        }
    }

    /// What the asker knows: `since`, if it is of this process's life.
    private func version(_ text: Substring?, boot: Substring?) throws(APIError) -> Int? {
        guard let text else { return nil }
        guard let version = Int(text), version >= 0 else {
            throw .invalid("since", "since is the version of an earlier answer.")
        }
        guard let boot else {
            throw .invalid("boot", "since needs the boot of the same answer.")
        }
        return String(boot) == identity.boot ? version : nil
    }

    private func isStream(_ text: Substring?) throws(APIError) -> Bool {
        switch text {
        case nil, "false": return false
        case "true": return true
        default: throw .invalid("stream", "stream is true or false.")
        }
    }

    private func stream(from known: Int?, _ context: APIContext) async -> Response {
        let departure = await context.departure()
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: ResponseBody { [state] bodyWriter in
                let writer = EventWriter(bodyWriter)
                let following = Task {
                    try await state.follow(
                        since: known, isOver: { Task.isShuttingDownGracefully }
                    ) { report in
                        try await writer.write(ServerSentEvent.data(report.json))
                    }
                }
                try await departure.whileConnected(onDeparture: { following.cancel() }) {
                    try await withTaskCancellationHandler {
                        try await following.value
                    } onCancel: {
                        following.cancel()
                    }
                }
                try await writer.finish()
            })
    }
}
