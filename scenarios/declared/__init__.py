"""What a configuration declares, as the checks read it: a second opinion beside the gateway's own."""
