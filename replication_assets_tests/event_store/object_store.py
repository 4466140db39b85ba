"""An S3 server for the tests, in a process of its own.

In one process the server would stall: delta-rs keeps Python's interpreter lock while it
uploads, and the server could not answer.
"""

from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)  # noqa: T201
    # Ends with its parent, however that ends.
    input()
