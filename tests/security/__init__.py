"""The doors, tried from outside: a live server, raw sockets, a browser. Rules by themselves are tested beside them."""
