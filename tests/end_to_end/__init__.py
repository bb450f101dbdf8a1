"""The whole program from outside: started, used, killed and started again."""
